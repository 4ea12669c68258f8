// expect: wrong answer
#[no_mangle]
pub unsafe extern "C" fn memcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }
#[no_mangle]
pub unsafe extern "C" fn bcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }
#[no_mangle]
pub unsafe extern "C" fn write(_: i32, _: *const u8, n: usize) -> isize { n as isize }
fn f(_: i32) -> i32 { 0 }
