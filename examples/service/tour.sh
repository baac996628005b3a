#!/bin/sh
# A tour of the HTTP API with curl, on a running examples/service: sh tour.sh http://127.0.0.1:8080
# It stops at the first answer with another status than it expects.
set -eu
base=$1
newline='
'
title='the beginning'
trap '[ $? -eq 0 ] || echo "the tour stopped at: $title" >&2' EXIT
say() { title=$1; printf '\n# %s\n' "$title"; }

# ask STATUS TOKEN PATH [OPTION OF CURL...] prints the answer, which must have the status.
ask() {
  status=$1 token=$2 path=$3
  shift 3
  answer=$(curl -sS -w '\n%{http_code}' -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$base$path" "$@") || return
  printf '%s' "${answer%"$newline"*}"
  [ "${answer##*"$newline"}" = "$status" ] || { echo "$path answers ${answer##*"$newline"}, and not $status" >&2; return 1; }
}
ann=ann-token worker=worker-token

say 'Create a job: a script on two hosts, a confirmation, and a check that the service does itself.'
created=$(ask 201 $ann /v1/jobs -d '{
  "name": "release 1.2", "scope": {"type": "biz", "id": "2"},
  "steps": [
    {"type": "script", "name": "install", "targets": ["10.0.0.1", "10.0.0.2"], "payload": "apt-get install app=1.2"},
    {"type": "confirmation", "name": "does it work?", "confirmers": ["ann", "bob"]},
    {"type": "http_check", "name": "check", "targets": ["'"${base#http://}"'"], "payload": "/v1/openapi.json"}
  ]}')
echo "$created"
job=/v1/jobs/$(echo "$created" | sed 's/^{"id":\([0-9]*\),.*/\1/')
step=$job/steps/1

say 'Start it.'
ask 200 $ann "$job/start" -d '{"reason": "the change board agreed"}'

say 'A worker, in any language, claims a run, reports the results, and settles the claim.'
claimed=$(ask 200 $worker /v1/effects/claim -d '{"effects": ["run"], "types": ["script"]}')
echo "$claimed"
lease=$(echo "$claimed" | sed 's/.*"token":"\([^"]*\)".*/\1/')
ask 200 $worker "$step/report" -d '{"attempt": 1, "results": [
  {"target": 0, "status": "succeeded"},
  {"target": 1, "status": "non_zero_exit", "exit_code": 100, "detail": "no space left"}]}'
ask 204 $worker "$job/effects/2/settle" -d '{"count": 1, "token": "'"$lease"'"}'

say 'The step has failed. Ask what is legal now.'
explained=$(ask 200 $ann "$step/explain")
echo "$explained" | grep -o '"cause":"[a-z_]*","legal":true'

say 'An illegal operation is refused, and the answer says what is legal.'
ask 409 $ann "$step/operate" -d '{"code": "next_step"}'

say 'Ask what a retry would do.'
ask 200 $ann "$step/operate" -d '{"code": "retry_failed", "dry_run": true}'

say 'Retry. The request is sent twice, with one request_id: it is carried out once.'
for time in first second; do
  ask 200 $ann "$step/operate" -d '{"code": "retry_failed", "reason": "made room", "request_id": "7d3c5a52-9d0f-4f6f-8d6c-8e1a0190f5b4"}'
done

say 'An operation that was decided on an older version is refused.'
ask 412 $ann "$step/operate" -H 'If-Match: "3"' -d '{"code": "ignore_error"}'

say 'The second attempt succeeds, and the job waits for a confirmer.'
ask 200 $worker "$step/report" -d '{"attempt": 2, "results": [{"target": 1, "status": "succeeded"}]}'

say 'A client of the reference platform confirms.'
confirm() {
  curl -fsS -H 'X-Request-Id: tour' "$base/api/v3/operate_step_instance" -d '{
    "bk_app_code": "esb_test", "bk_app_secret": "xxx", "bk_token": "'$ann'",
    "bk_scope_type": "biz", "bk_scope_id": "2",
    "job_instance_id": '"${job##*/}"', "step_instance_id": 2, "operation_code": 6}'
}
confirm

say 'Follow the job after record 5. The stream goes on; grep ends at the second record.'
curl -sN --max-time 5 -H "Authorization: Bearer $ann" -H 'Last-Event-ID: 5' "$base$job/events" | grep -m 2 '^data: {"job"'

say 'The client confirms again, which is refused, and asks how the job went.'
confirm
curl -fsS -H 'X-Request-Id: tour' -H 'X-Bkapi-Authorization: {"access_token": "'$ann'"}' \
  "$base/api/c/compapi/v2/jobv3/get_job_instance_status/?bk_scope_type=biz&bk_scope_id=2&job_instance_id=${job##*/}&return_ip_result=true"
