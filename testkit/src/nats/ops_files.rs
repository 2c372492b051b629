//! Copies the configuration files of `ops/nats` and adapts their paths and addresses to one test.

use std::{fs, path::Path, process::Command};

/// Copies the files to a folder, and creates passwords for the users and for the cluster routes to these addresses.
pub(super) fn copy(folder: &Path, routes: &[String]) {
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/nats"), folder);
    let run = Command::new(folder.join("make-passwords")).arg(folder).args(routes).status();
    assert!(run.is_ok_and(|status| status.success()), "make-passwords failed");
}

/// Turns on TLS for clients and routes, as the comments of `cluster.conf` and `tls.conf` describe.
pub(super) fn encrypt(folder: &Path, certificates: &Path) {
    edit(&folder.join("tls.conf"), "/etc/nats/tls/", &format!("{}/", certificates.display()), 3);
    // the line occurs at the end of the file and in the block of the routes
    edit(&folder.join("cluster.conf"), "# include \"tls.conf\"", "include \"tls.conf\"", 2);
}

/// Replaces every occurrence of a text, which must occur this many times.
fn edit(file: &Path, from: &str, to: &str, count: usize) {
    let text = fs::read_to_string(file).expect("a file of ops/nats");
    assert_eq!(text.matches(from).count(), count, "`{from}` in {}", file.display());
    fs::write(file, text.replace(from, to)).expect("a copy is writable");
}

/// Copies a folder recursively.
fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the folder exists") {
        let entry = entry.expect("the folder can be read");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&copied).expect("a new folder can be created");
            copy_folder(&path, &copied);
        } else {
            fs::copy(&path, &copied).expect("a file can be copied");
        }
    }
}
