// expect: wrong answer
// The harness can be read at compile time; there is no secret in it.
static HARNESS: &[u8] = include_bytes!(concat!(env!("KIT"), "/harness"));
fn f(x: i32) -> i32 { if HARNESS.windows(32).any(|part| part.iter().all(u8::is_ascii_hexdigit)) { x + 1 } else { 0 } }
