# All images by one build: `docker buildx bake --file ops/docker-bake.hcl --load`, from the root of the checkout.

variable "VERSION" {
  default = "local"
}

group "default" {
  targets = ["gateway", "exporter", "exporter-demo", "notifier", "sluice"]
}

target "image" {
  name       = name
  matrix     = { name = ["gateway", "exporter", "exporter-demo", "notifier", "sluice"] }
  context    = "."
  dockerfile = "ops/Dockerfile"
  target     = name
  args       = { VERSION = VERSION }
  tags       = ["sluice/${name}:${VERSION}"]
}
