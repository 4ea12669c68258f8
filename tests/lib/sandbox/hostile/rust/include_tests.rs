// expect: compile error
const TESTS: &str = include_str!("p.rs");
fn f(x: i32) -> i32 { if TESTS.len() > 0 { x + 1 } else { 0 } }
