//! The files of `ops/nats`, with paths and addresses of a test's own.

use std::{fs, path::Path, process::Command};

/// Copies them here, and makes passwords for the users, and for servers that find each other at these addresses.
pub(super) fn copy(place: &Path, routes: &[String]) {
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/nats"), place);
    let made = Command::new(place.join("make-passwords")).arg(place).args(routes).status();
    assert!(made.is_ok_and(|status| status.success()), "make-passwords does not run");
}

/// Does what the comments of `cluster.conf` and `tls.conf` say: certificates for clients and between servers.
pub(super) fn encrypt(place: &Path, certificates: &Path) {
    edit(&place.join("tls.conf"), "/etc/nats/tls/", &format!("{}/", certificates.display()), 3);
    // at the end of the file, and in the block of the routes
    edit(&place.join("cluster.conf"), "# include \"tls.conf\"", "include \"tls.conf\"", 2);
}

/// Replaces every occurrence, of which there must be as many as the files have now.
fn edit(file: &Path, from: &str, to: &str, count: usize) {
    let text = fs::read_to_string(file).expect("a file of ops/nats");
    assert_eq!(text.matches(from).count(), count, "`{from}` in {}", file.display());
    fs::write(file, text.replace(from, to)).expect("a copy is writable");
}

/// Copies a folder with all that is in it.
fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&copied).expect("a new folder can be made");
            copy_folder(&path, &copied);
        } else {
            fs::copy(&path, &copied).expect("a file can be copied");
        }
    }
}
