//! Tells the fabric that this role serves.

use std::fs::File;
use std::io::Write;

use launcher::driver::fds;

/// Writes the line that `ironclad start` waits for. Does nothing where no fabric has started this process.
pub fn ready() {
    match linux::inherit::take(fds::NOTIFY) {
        Ok(notify) => {
            if let Err(error) = File::from(notify).write_all(b"ready\n") {
                tracing::warn!("cannot tell the supervisor that this node is ready: {error}");
            }
        }
        Err(error) => tracing::debug!("nobody supervises this process: {error}"),
    }
}
