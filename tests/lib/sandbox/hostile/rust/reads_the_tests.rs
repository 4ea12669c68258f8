// expect: forged|wrong answer
use std::arch::asm;
// What the tests compare with lies on the caller's stack, as the second of the two that are compared.
#[inline(never)]
fn f(_: i32) -> i32 {
    let at: *const u8;
    unsafe {
        asm!("mov {}, [rbp + 8]", out(reg) at);
        for n in 0..64 {
            // movl $imm, d(%rsp)
            if *at.add(n) == 0xc7 && *at.add(n + 1) == 0x44 { return (at.add(n + 4) as *const i32).read_unaligned(); }
            if *at.add(n) == 0xc7 && *at.add(n + 1) == 0x84 { return (at.add(n + 7) as *const i32).read_unaligned(); }
        }
    }
    0
}
