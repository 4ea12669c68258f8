namespace Shapes
{
    public class Account
    {
        public Account(decimal start)
        {
            Balance = start;
        }

        /// <summary>Takes money out.</summary>
        public bool Withdraw(decimal amount)
        {
            if (amount > Balance) return false;
            Balance -= amount;
            return true;
        }
    }
}
