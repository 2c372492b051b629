//! Limits the number of files that a gateway sends over HTTP at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::header;
use protocol::{id::Owner, problem::Slug};

use crate::error::{Outcome, Refusal};

/// The value of `Retry-After`, in seconds, in the response that refuses a download.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Counts the HTTP downloads in progress on this gateway. Clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct Downloads {
    open: Arc<Mutex<Open>>,
    max: usize,
    max_per_user: usize,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_user: HashMap<Owner, usize>,
}

/// A download in progress. Until this guard is dropped, the download counts against the limit for one user and the
/// limit for the gateway.
#[derive(Debug)]
pub(crate) struct DownloadGuard {
    downloads: Downloads,
    owner: Owner,
}

impl Downloads {
    #[must_use]
    pub(crate) fn new(max: usize, max_per_user: usize) -> Self {
        Self { open: Arc::default(), max, max_per_user }
    }

    /// Begins a download of this user. The download counts against the limits until the returned guard is dropped.
    ///
    /// # Errors
    /// `rate-limited` when the user has reached the limit for one user, `unavailable` when the gateway has reached its
    /// own limit. Both refusals have the header `Retry-After`.
    pub(crate) fn begin(&self, owner: &Owner) -> Outcome<DownloadGuard> {
        let mut open = self.lock();
        if open.by_user.get(owner).is_some_and(|downloads| *downloads >= self.max_per_user) {
            let detail = format!("A user may have {} downloads in progress; end one first.", self.max_per_user);
            return Err(refusal(Slug::RateLimited, detail));
        }
        if open.total >= self.max {
            let detail =
                "This gateway has too many downloads in progress. Retry shortly, or open the file over a socket.";
            return Err(refusal(Slug::Unavailable, detail));
        }
        open.total += 1;
        *open.by_user.entry(owner.clone()).or_default() += 1;
        metrics::gauge!("sluice_gateway_http_downloads").increment(1);
        Ok(DownloadGuard { downloads: self.clone(), owner: owner.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // no code can panic between two changes of the counters, so the counters are valid even after a panic of a lock
        // holder
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(slug: Slug, detail: impl Into<String>) -> Refusal {
    Refusal::new(slug, detail).with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
}

impl Drop for DownloadGuard {
    fn drop(&mut self) {
        metrics::gauge!("sluice_gateway_http_downloads").decrement(1);
        let mut open = self.downloads.lock();
        open.total -= 1;
        if let Some(downloads) = open.by_user.get_mut(&self.owner) {
            *downloads -= 1;
            if *downloads == 0 {
                open.by_user.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_are_limited_for_each_user_and_for_the_gateway() {
        let downloads = Downloads::new(3, 2);
        let (alice, bob) = (Owner::new("acme", "alice"), Owner::new("acme", "bob"));
        let first = downloads.begin(&alice).unwrap();
        let _second = downloads.begin(&alice).unwrap();
        let refused = downloads.begin(&alice).unwrap_err();
        assert_eq!((refused.problem.status, refused.problem.slug()), (429, Slug::RateLimited));
        assert_eq!(refused.headers, [(header::RETRY_AFTER, "5".to_owned())]);
        let _third = downloads.begin(&bob).unwrap();
        let refused = downloads.begin(&bob).unwrap_err();
        assert_eq!((refused.problem.status, refused.problem.slug()), (503, Slug::Unavailable));
        drop(first);
        downloads.begin(&bob).unwrap();
        assert_eq!(downloads.lock().by_user.len(), 2);
    }
}
