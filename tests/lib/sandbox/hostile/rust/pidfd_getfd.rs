// expect: wrong answer
extern "C" { fn syscall(number: i64, ...) -> i64; }
fn f(x: i32) -> i32 { if unsafe { (0..9).any(|n| { let fd = syscall(434, 1, 0); fd >= 0 && syscall(438, fd, n, 0) >= 0 }) } { x + 1 } else { 0 } }
