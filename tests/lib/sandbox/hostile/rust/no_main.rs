// expect: compile error
#![no_main]
#[no_mangle]
pub extern "C" fn main(_: i32, _: *const *const u8) -> i32 { 0 }
fn f(_: i32) -> i32 { 0 }
