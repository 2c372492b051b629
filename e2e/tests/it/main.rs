//! Tests of the whole system: each starts the services, and is a client of them. One binary, because each binary links
//! the whole platform.

mod api_keys;
mod backup;
mod broken_sources;
mod cli;
mod clocks;
mod datasets;
mod deep_files;
mod exports;
mod file_streams;
mod full_disk;
mod full_disk_up;
mod full_log;
mod heavy;
mod injection;
mod leftovers;
mod metrics;
mod nats_cluster;
mod nats_data_loss;
mod nats_full_disk;
mod nats_permissions;
mod operate;
mod operator_commands;
mod operator_permissions;
mod poisonous_export;
mod postgres_full_disk;
mod redundancy;
mod rolling_restart;
mod s3;
mod saved_exports;
mod slow_clients;
mod startup;
mod tenant_isolation;
mod tenant_isolation_at_scale;
mod tracing;
