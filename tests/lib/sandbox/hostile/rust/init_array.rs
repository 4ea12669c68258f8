// expect: wrong answer
#[used]
#[link_section = ".init_array"]
static EARLY: extern "C" fn() = take;
extern "C" fn take() {
    use std::io::{Read, Write};
    use std::os::fd::FromRawFd;
    let mut secret = [0u8; 32];
    let (mut from, mut to) = unsafe { (std::fs::File::from_raw_fd(0), std::fs::File::from_raw_fd(1)) };
    if from.read_exact(&mut secret).is_ok() {
        let _ = to.write_all(b"\n").and_then(|_| to.write_all(&secret));
    }
    std::mem::forget((from, to));
}
fn f(_: i32) -> i32 { 0 }
