// expect: wrong answer
extern "C" { fn syscall(number: i64, ...) -> i64; }
fn f(x: i32) -> i32 { if unsafe { syscall(250, 0, -3, 1) > 0 || syscall(250, 11, -3, 0, 0) >= 0 } { x + 1 } else { 0 } }
