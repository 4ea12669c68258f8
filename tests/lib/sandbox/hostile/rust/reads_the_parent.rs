// expect: wrong answer
extern "C" { fn syscall(number: i64, ...) -> i64; fn getppid() -> i32; }
fn f(x: i32) -> i32 {
    let mut text = [0u8; 64];
    let (here, there) = ([text.as_mut_ptr() as usize, 64], [0x400000usize, 64]);
    if unsafe { syscall(310, getppid(), here.as_ptr(), 1, there.as_ptr(), 1, 0) } > 0 { x + 1 } else { 0 }
}
