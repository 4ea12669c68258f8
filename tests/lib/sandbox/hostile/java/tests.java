public class Main {
    public static void main(String[] args) {
        Solution s = new Solution();
        List<Boolean> correct = Arrays.asList(
                s.f(1) == 2,
                s.f(5) == 6,
                s.f(-3) == -2,
                s.f(0) == 1,
                s.f(41) == 42,
                s.f(98) == 99
        );
        if (correct.contains(false)) {
            throw new AssertionError();
        }
    }
}
