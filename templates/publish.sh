#!/usr/bin/env bash
# Builds the image and both template files: templates/publish.sh PROJECT REGION BUCKET [REPOSITORY]
# Cloud Build builds the image, so that Docker is not needed here.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "publish: $1" >&2
  exit 2
}

# Goes on where gcloud finds something; says how to make it only where it is not there.
look() { # WHAT HOW_TO_MAKE_IT GCLOUD_ARGUMENTS...
  local what=$1 make=$2 said
  shift 2
  said=$(gcloud "$@" 2>&1 >/dev/null) && return
  shopt -s nocasematch
  case $said in
    *permission* | *forbidden*) fail "this account may not look at the $what: it needs the right to, or the name is wrong. gcloud says: $said" ;;
    *NOT_FOUND* | *"not found"*) fail "no such $what: $make" ;;
    *) fail "the $what cannot be looked at. gcloud says: $said" ;;
  esac
}

[[ $# -ge 3 && $# -le 4 ]] || fail "needs a project, a region and a bucket: templates/publish.sh PROJECT REGION BUCKET [REPOSITORY]"
command -v gcloud >/dev/null || fail "needs gcloud: install it (https://cloud.google.com/sdk/docs/install), then gcloud auth login"

project=$1 region=$2 bucket=${3#gs://} repository=${4:-capybeam}
bucket=${bucket%/}
version=$(date -u +%Y%m%d-%H%M%S)
image="$region-docker.pkg.dev/$project/$repository/capybeam:$version"

look "repository $repository" \
  "gcloud artifacts repositories create $repository --repository-format=docker --location=$region --project=$project" \
  artifacts repositories describe "$repository" --location="$region" --project="$project"
look "bucket gs://$bucket" "gcloud storage buckets create gs://$bucket --location=$region --project=$project" \
  storage buckets describe "gs://$bucket" --project="$project"

gcloud builds submit --config=templates/cloudbuild.yaml --substitutions="_IMAGE=$image" --project="$project" .
for template in streaming batch; do
  gcloud dataflow flex-template build "gs://$bucket/templates/$version/$template.json" \
    --image="$image" --sdk-language=PYTHON --metadata-file="templates/$template.json" --project="$project"
done
echo "Published as version $version:"
echo "  gs://$bucket/templates/$version/streaming.json"
echo "  gs://$bucket/templates/$version/batch.json"
