//! The built-in resources: one small file each, and one line here. The order is that of discovery.

use crate::resource::Resource;

/// Every built-in resource.
pub fn all() -> Vec<Resource> {
    vec![]
}
