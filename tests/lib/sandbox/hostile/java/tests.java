public class Main {
    public static void main(String[] args) {
        Solution s = new Solution();
        if (s.f(1) != 2 || s.f(5) != 6) throw new AssertionError();
    }
}
