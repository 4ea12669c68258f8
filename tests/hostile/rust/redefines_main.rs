// expect: compile error
fn main() {}
fn f(_: i32) -> i32 { 0 }
