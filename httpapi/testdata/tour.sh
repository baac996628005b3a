#!/bin/sh
# A tour of the HTTP API: sh tour.sh http://127.0.0.1:8080
# X-Person stands for however the server finds out who asks; tour_test.go has such a server, and
# tour.txt is what comes.
set -eu
base=$1
ann() { curl -sS -H 'X-Person: ann' -H 'Content-Type: application/json' "$@"; }
executor() { curl -sS -H 'X-Person: executor-1' -H 'Content-Type: application/json' "$@"; }
say() { printf '\n# %s\n' "$*"; }

say 'A job: a script on two hosts, and then a person who looks at what came of it.'
created=$(ann "$base/v1/jobs" -d '{
  "name": "release 1.2", "scope": {"type": "biz", "id": "2"},
  "steps": [
    {"type": "script", "name": "install", "targets": ["10.0.0.1", "10.0.0.2"], "payload": "apt-get install app=1.2"},
    {"type": "confirmation", "name": "does it work?", "confirmers": ["ann", "bob"]}
  ]}')
echo "$created"
job=$(echo "$created" | sed 's/^{"id":\([0-9]*\),.*/\1/')
step=$base/v1/jobs/$job/steps/1

say 'It starts.'
ann "$base/v1/jobs/$job/start" -d '{"reason": "the change board agreed"}'

say 'An executor, in any language, takes what is to be done, says what came of it, and that it has done it.'
claimed=$(executor "$base/v1/effects/claim" -d '{"effects": ["run"]}')
echo "$claimed"
token=$(echo "$claimed" | sed 's/.*"token":"\([^"]*\)".*/\1/')
executor "$step/report" -d '{"attempt": 1, "results": [
  {"target": 0, "status": "succeeded", "started": 1700000003000, "finished": 1700000003250},
  {"target": 1, "status": "non_zero_exit", "exit_code": 100, "detail": "no space left"}]}'
executor "$base/v1/jobs/$job/effects/2/settle" -d '{"count": 1, "token": "'"$token"'"}'

say 'The step has failed. Which buttons does a page show to ann?'
ann "$step/explain" | grep -o '"cause":"[a-z_]*","legal":true'

say 'Whatever else is refused, with what would be legal instead.'
ann "$step/operate" -d '{"code": "next_step"}'

say 'What would a retry do?'
ann "$step/operate" -d '{"code": "retry_failed", "dry_run": true}'

say 'A retry, sent twice as the first answer seemed lost: it is carried out once.'
for time in first second; do
  ann "$step/operate" -d '{"code": "retry_failed", "reason": "made room", "request_id": "0190f5b4-7d3c-7a52-9d0f-3f6f5d6c8e1a"}'
done

say 'Somebody whose page is older than that is told so.'
curl -sS -H 'X-Person: bob' -H 'Content-Type: application/json' -H 'If-Match: "3"' "$step/operate" -d '{"code": "ignore_error"}'

say 'What has happened since record 2? The stream goes on; grep has seen enough after two.'
curl -s -N --max-time 5 -H 'X-Person: bob' -H 'Last-Event-ID: 2' "$base/v1/jobs/$job/events" | grep -m 2 '^data: {"job"'

say 'The second attempt succeeds, and the job waits for a person.'
executor "$step/report" -d '{"attempt": 2, "results": [{"target": 1, "status": "succeeded"}]}'

say 'A client that was written for the reference platform confirms, twice.'
for time in first second; do
  curl -sS -H 'X-Request-Id: tour' "$base/api/v3/operate_step_instance" -d '{
    "bk_app_code": "esb_test", "bk_app_secret": "xxx", "bk_username": "ann",
    "bk_scope_type": "biz", "bk_scope_id": "2",
    "job_instance_id": '"$job"', "step_instance_id": 2, "operation_code": 6}'
done

say 'And asks how the job went.'
curl -sS -H 'X-Request-Id: tour' -H 'X-Person: ann' \
  "$base/api/c/compapi/v2/jobv3/get_job_instance_status/?bk_scope_type=biz&bk_scope_id=2&job_instance_id=$job&return_ip_result=true"
