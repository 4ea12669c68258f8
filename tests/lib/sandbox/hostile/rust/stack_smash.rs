// expect: wrong answer|crash
use std::arch::asm;
// Its own return address is moved past the comparison.
#[inline(never)]
fn f(_: i32) -> i32 {
    unsafe { asm!("add qword ptr [rbp + 8], 12") };
    0
}
