//! hostPath volumes: a path of the node, checked against the type that is asked for.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use super::{Input, Kind, Prepared};
use crate::env::ConfigError;

pub const KIND: Kind = Kind { plugin: "kubernetes.io~host-path", claims: |volume| volume.host_path.is_some(), prepare };

fn prepare(input: &Input<'_>) -> Result<Prepared, ConfigError> {
    let source = input.volume.host_path.clone().unwrap_or_default();
    let path = Path::new(&source.path);
    let failed = |error: std::io::Error| ConfigError(format!("{}: {error}", source.path));
    let wanted = source.type_.as_deref().unwrap_or_default();
    match wanted {
        "DirectoryOrCreate" if !path.exists() => {
            std::fs::create_dir_all(path).map_err(failed)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        "FileOrCreate" if !path.exists() => {
            std::fs::File::create(path).map_err(failed)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
        }
        _ => {}
    }
    let found = std::fs::metadata(path).ok().map(|metadata| metadata.file_type());
    let (fits, what) = match wanted {
        "" => (true, ""),
        "Directory" | "DirectoryOrCreate" => (found.is_some_and(|kind| kind.is_dir()), "a directory"),
        "File" | "FileOrCreate" => (found.is_some_and(|kind| kind.is_file()), "a file"),
        "Socket" => (found.is_some_and(|kind| kind.is_socket()), "a socket file"),
        "CharDevice" => (found.is_some_and(|kind| kind.is_char_device()), "a character device"),
        "BlockDevice" => (found.is_some_and(|kind| kind.is_block_device()), "a block device"),
        other => return Err(ConfigError(format!("{other} is an invalid volume type"))),
    };
    if !fits {
        return Err(ConfigError(format!("hostPath type check failed: {} is not {what}", source.path)));
    }
    Ok(Prepared::Host(path.to_owned()))
}
