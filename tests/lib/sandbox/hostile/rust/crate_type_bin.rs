// expect: wrong answer
#![crate_type = "staticlib"]
#[no_mangle]
pub extern "C" fn tests() -> i32 { 0 }
fn f(_: i32) -> i32 { 0 }
