// expect: timed out
fn f(x: i32) -> i32 { let mut y = x; loop { y = y.wrapping_add(1); if y == x && y != x { return 0 } } }
