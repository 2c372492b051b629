# Builds all images at once: `docker buildx bake --file ops/docker-bake.hcl --load`, from the root of the checkout.

variable "VERSION" {
  default = "local"
}

group "default" {
  targets = ["gateway", "exporter", "exporter-demo", "notifier", "sluice"]
}

target "image" {
  name       = image
  matrix     = { image = ["gateway", "exporter", "exporter-demo", "notifier", "sluice"] }
  context    = "."
  dockerfile = "ops/Dockerfile"
  target     = image
  args       = { VERSION = VERSION }
  tags       = ["sluice/${image}:${VERSION}"]
}
