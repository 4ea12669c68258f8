// expect: wrong answer
fn f(x: i32) -> i32 { if std::fs::read("SECRET").is_ok() { x + 1 } else { 0 } }
