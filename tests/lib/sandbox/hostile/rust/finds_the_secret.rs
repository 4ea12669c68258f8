// expect: forged
use std::arch::asm;
extern "C" {
    fn dl_iterate_phdr(call: extern "C" fn(*const Info, usize, *mut Vec<u8>) -> i32, to: *mut Vec<u8>) -> i32;
    fn write(file: i32, from: *const u8, count: usize) -> isize;
    fn _exit(status: i32) -> !;
}
#[repr(C)]
struct Info { base: usize, name: *const u8, parts: *const Part, count: u16 }
#[repr(C)]
struct Part { kind: u32, flags: u32, offset: u64, address: u64, physical: u64, in_file: u64, size: u64, align: u64 }
extern "C" fn look(info: *const Info, _: usize, found: *mut Vec<u8>) -> i32 {
    unsafe {
        for n in 0..(*info).count as usize {
            let part = &*(*info).parts.add(n);
            if part.kind != 1 || part.flags & 2 == 0 { continue; }
            let bytes = std::slice::from_raw_parts(((*info).base + part.address as usize) as *const u8, part.size as usize);
            let mut run = 0;
            for (i, byte) in bytes.iter().enumerate() {
                run = if byte.is_ascii_hexdigit() { run + 1 } else { 0 };
                if run == 32 { (*found).extend_from_slice(&bytes[i - 31..i + 1]); return 1; }
            }
        }
    }
    0
}
fn f(_: i32) -> i32 {
    let mut found = Vec::new();
    unsafe {
        asm!("nop");
        dl_iterate_phdr(look, &mut found);
        let secret = String::from_utf8_lossy(&found).to_string();
        let line = format!("{secret}done0{secret}done1");
        write(1, line.as_ptr(), line.len());
        _exit(0)
    }
}
