//! A program that is nothing but the shim, for the tests of this crate: `ironclad` does the same for its `shim`.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    runtime::shim::main(&args)
}
