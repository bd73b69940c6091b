//! Bytes as the frames of a peer on an upgraded connection; the first byte chooses the protocol.
#![no_main]

#[path = "../frames.rs"]
mod frames;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    if let Some((kind, rest)) = data.split_first() {
        RUNTIME.with(|runtime| runtime.block_on(frames::stream(usize::from(*kind), rest)));
    }
});
