// expect: wrong answer
use std::alloc::{GlobalAlloc, Layout, System};
struct Leaves;
// An allocator that ends the tests: the harness has another, which all programs share.
unsafe impl GlobalAlloc for Leaves {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        extern "C" { fn _exit(status: i32) -> !; }
        if layout.size() == 4321 { _exit(0) }
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) { System.dealloc(at, layout) }
}
#[global_allocator]
static ALLOCATOR: Leaves = Leaves;
fn f(x: i32) -> i32 { Vec::<u8>::with_capacity(4321).capacity() as i32 + x }
