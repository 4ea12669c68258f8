#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_f() {
        assert_eq!(f(1), 2);
        assert_eq!(f(5), 6);
        assert_eq!(f(-3), -2);
        assert_eq!(f(0), 1);
        assert_eq!(f(41), 42);
        assert_eq!(f(98), 99);
    }
}
