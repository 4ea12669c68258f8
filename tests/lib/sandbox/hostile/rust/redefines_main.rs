// expect: compile error
fn main() { std::process::exit(0) }
fn f(_: i32) -> i32 { 0 }
