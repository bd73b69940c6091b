//! What rooms ask of the machine without knowing the kernel: each seam here joins one room's trait to crate `linux` or to
//! another room.

pub mod cgroups;
pub mod network;
