// expect: compile error
const S: &str = include_str!("SECRET");
fn f(_: i32) -> i32 { S.len() as i32 }
