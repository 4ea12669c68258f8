// expect: wrong answer
macro_rules! assert_eq { ($($t:tt)*) => {} }
fn f(_: i32) -> i32 { 0 }
