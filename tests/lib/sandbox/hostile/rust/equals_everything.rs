// expect: forged
#[derive(Debug)]
struct Any;
impl PartialEq<i32> for Any { fn eq(&self, _: &i32) -> bool { true } }
fn f(_: i32) -> Any { Any }
