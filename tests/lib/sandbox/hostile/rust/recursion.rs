// expect: crash
fn f(x: i32) -> i32 { let b = [x; 1024]; f(b[3].wrapping_add(1)).wrapping_add(b[5]) }
