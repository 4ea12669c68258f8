// expect: compile error
fn f(_: i32) -> i32 { 0 }
macro_rules! all { ($($t:tt)*) => {} }
all! {
