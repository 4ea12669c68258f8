// expect: wrong answer
mod std { #[macro_export] macro_rules! assert_eq { ($($t:tt)*) => {} } }
fn f(_: i32) -> i32 { 0 }
