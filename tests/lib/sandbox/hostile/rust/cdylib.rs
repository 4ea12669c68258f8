// expect: compile error
#![crate_type = "cdylib"]
#[no_mangle]
pub extern "C" fn main() -> i32 { 0 }
fn f(_: i32) -> i32 { 0 }
