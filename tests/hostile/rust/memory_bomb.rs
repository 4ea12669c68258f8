// expect: out of memory|exception|crash|timed out
fn f(_: i32) -> i32 { let mut l: Vec<Vec<u8>> = vec![]; loop { l.push(vec![1u8; 1 << 24]); } }
