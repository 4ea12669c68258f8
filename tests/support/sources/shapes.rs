impl Stack {
    /// The topmost value, if any.
    #[inline]
    pub fn peek(&self) -> Option<&i32> {
        let last = self.values.last();
        last
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
