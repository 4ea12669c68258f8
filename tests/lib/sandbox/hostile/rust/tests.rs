#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_f() {
        assert_eq!(f(1), 2);
        assert_eq!(f(5), 6);
    }
}
