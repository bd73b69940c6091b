//! Bytes as a request through all filters and verbs; the first byte chooses what kind of request.
#![no_main]

#[path = "../targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use targets::Stand;

thread_local! {
    static STAND: Stand = Stand::new();
}

fuzz_target!(|data: &[u8]| {
    if let Some((shape, rest)) = data.split_first() {
        STAND.with(|stand| stand.request(usize::from(*shape), rest));
    }
});
