// expect: out of memory
fn f(_: i32) -> i32 { let mut l: Vec<Vec<u8>> = vec![]; loop { l.push(vec![1u8; 1 << 24]); } }
