//! Takes connections: at most so many at once, and none that only dawdles.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use platform::lifecycle::Lifecycle;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::drain::Drain;

/// How long a client has to send the head of a request, also on a connection that it keeps.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait when the process has no file descriptor left for another connection; and for a request that nobody
/// has to finish.
const BREATHER: Duration = Duration::from_millis(50);

/// Serves until `stop`. When `connections` are open, further ones wait in the kernel's queue.
///
/// With a [`Drain`], that waits for those that were taken, and says how long their requests may go on after that.
pub(crate) fn serve(
    name: &'static str,
    router: Router,
    listener: TcpListener,
    connections: usize,
    stop: &CancellationToken,
    drain: Option<&Drain>,
    life: &Lifecycle,
) {
    let (tasks, stop, drain) = (life.clone(), stop.clone(), drain.cloned());
    let permits = Arc::new(Semaphore::new(connections));
    life.spawn_critical(name, async move {
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => return Ok::<_, Infallible>(()),
                // the semaphore is never closed
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let stream = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(e) => {
                        warn!(error = %e, "a connection can't be taken");
                        tokio::time::sleep(BREATHER).await;
                        continue;
                    }
                },
            };
            let (router, stop) = (router.clone(), stop.clone());
            let limit = drain.as_ref().map_or(BREATHER, Drain::requests);
            let served = async move {
                connection(stream, router, &stop, limit).await;
                drop(permit);
            };
            match &drain {
                Some(drain) => tasks.spawn(drain.track(served)),
                None => tasks.spawn(served),
            }
        }
    });
}

async fn connection(stream: TcpStream, router: Router, stop: &CancellationToken, limit: Duration) {
    // small frames must not wait for each other
    if let Err(e) = stream.set_nodelay(true) {
        debug!(error = %e, "no TCP_NODELAY");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limit, connection).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(e) = result {
        debug!(error = %e, "a connection broke");
    }
}
