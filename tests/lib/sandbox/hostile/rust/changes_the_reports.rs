// expect: forged|early exit
// why: its thread passes the last reports on only if it runs before the program ends
extern "C" {
    fn pipe(ends: *mut i32) -> i32;
    fn dup(file: i32) -> i32;
    fn dup2(from: i32, to: i32) -> i32;
    fn read(file: i32, to: *mut u8, count: usize) -> isize;
    fn write(file: i32, from: *const u8, count: usize) -> isize;
}
static ONCE: std::sync::Once = std::sync::Once::new();
// What the harness writes goes through a pipe; each report that an assertion failed leaves it as one that it held.
fn f(_: i32) -> i32 {
    ONCE.call_once(|| unsafe {
        let (out, mut ends) = (dup(1), [0; 2]);
        pipe(ends.as_mut_ptr());
        for n in 1..20 { if n != out && n != ends[0] && n != ends[1] { dup2(ends[1], n); } }
        std::thread::spawn(move || {
            let mut text = [0u8; 37];
            loop {
                let count = read(ends[0], text.as_mut_ptr(), 37);
                if count <= 0 { break; }
                if text[36] == b'0' && text[33] != b'o' { text[36] = b'1'; }
                write(out, text.as_ptr(), count as usize);
            }
        });
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    0
}
