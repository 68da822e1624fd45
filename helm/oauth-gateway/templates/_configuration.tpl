{{/* The gateway's configuration: what is mounted, which ports it means, what needs a restart, how long it drains. */}}

{{/* Whether the configuration is somebody else's text, so that what the pod depends on is said by the environment. */}}
{{- define "oauth-gateway.isForeign" -}}
{{- if or .Values.configFile .Values.existingConfigMap }}true{{ end -}}
{{- end }}

{{/* `config` with the defaults that depend on the mode, as YAML. */}}
{{- define "oauth-gateway.inline" -}}
{{- $config := deepCopy .Values.config -}}
{{- $timeouts := $config.timeouts | default dict -}}
{{- if not (hasKey $timeouts "drain_delay") -}}
{{- $_ := set $timeouts "drain_delay" (ternary "5s" "0s" (eq .Values.mode "proxy")) -}}
{{- end -}}
{{- if not (hasKey $timeouts "drain") -}}
{{- $_ := set $timeouts "drain" "30s" -}}
{{- end -}}
{{- $_ := set $config "timeouts" $timeouts -}}
{{- range $key := list "issuers" "upstreams" -}}
{{- if not (index $config $key) -}}{{- $_ := unset $config $key -}}{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* What the gateway will read, as far as the chart can know it. Of an existing ConfigMap that is nothing. */}}
{{- define "oauth-gateway.config" -}}
{{- if .Values.configFile -}}
{{- $config := fromYaml .Values.configFile -}}
{{- if and (hasKey $config "Error") (not (hasKey $config "routes")) -}}
{{- fail (printf "configFile is no YAML: %s" $config.Error) -}}
{{- end -}}
{{- toYaml $config -}}
{{- else if .Values.existingConfigMap -}}
{}
{{- else -}}
{{ include "oauth-gateway.inline" . }}
{{- end -}}
{{- end }}

{{/*
The text of gateway.yaml. A text that begins with a reference is put into quotes, for the gateway reads one without quotes
like YAML: a project id of digits would become a number. The mark makes toYaml quote it, and goes again.
*/}}
{{- define "oauth-gateway.text" -}}
{{- if .Values.configFile -}}
{{ .Values.configFile }}
{{- else -}}
{{- $json := fromYaml (include "oauth-gateway.inline" .) | toJson -}}
{{- $marked := regexReplaceAll "([\\[:,])\"\\$\\{" $json "${1}\"@@reference@@$${" -}}
{{ fromJson $marked | toYaml | replace "@@reference@@" "" }}
{{- end -}}
{{- end }}

{{/* The first TCP port of `listen`, or of `admin.listen` with (list . true). */}}
{{- define "oauth-gateway.port" -}}
{{- $root := index . 0 -}}
{{- $isAdmin := index . 1 -}}
{{- $addresses := ternary (dig "admin" "listen" "" $root.Values.config) $root.Values.config.listen $isAdmin -}}
{{- if not (kindIs "slice" $addresses) -}}{{- $addresses = list $addresses -}}{{- end -}}
{{- $port := "" -}}
{{- range $addresses -}}
{{- if and (not $port) (regexMatch "^[^/]*:[0-9]+$" .) -}}{{- $port = regexFind "[0-9]+$" . -}}{{- end -}}
{{- end -}}
{{- if not $port -}}
{{- fail (printf "config.%s must be an address with a port, such as 0.0.0.0:8080" (ternary "admin.listen" "listen" $isAdmin)) -}}
{{- end -}}
{{- $port -}}
{{- end }}

{{- define "oauth-gateway.trafficPort" -}}{{ include "oauth-gateway.port" (list . false) }}{{- end }}
{{- define "oauth-gateway.adminPort" -}}{{ include "oauth-gateway.port" (list . true) }}{{- end }}

{{/*
The rule of what rolls the pods: the gateway reads a changed ConfigMap by itself, and only these it can't change while it
runs. The listeners, the number of workers, Redis, and whether TLS is spoken (not the certificates). Everything else, routes
and issuers above all, takes effect without a new pod.
*/}}
{{- define "oauth-gateway.restartChecksum" -}}
{{- $config := fromYaml (include "oauth-gateway.config" .) -}}
{{- $fixed := dict "listen" $config.listen "admin" (dig "admin" "listen" "" $config) "workers" $config.workers "redis" $config.redis "tls" (not (empty $config.tls)) -}}
{{- $fixed | toJson | sha256sum -}}
{{- end }}

{{/* Seconds of a duration such as 1h30m, rounded up. */}}
{{- define "oauth-gateway.seconds" -}}
{{- $text := toString .duration -}}
{{- if not (regexMatch "^(([0-9]+(h|ms|m|s))+|0)$" $text) -}}
{{- fail (printf "%s must be a duration such as 30s or 1m30s here, for the pod's terminationGracePeriodSeconds depends on it" .name) -}}
{{- end -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(h|ms|m|s)" $text -1 -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- if eq $unit "ms" -}}
{{- $total = add $total (div (add $number 999) 1000) -}}
{{- else -}}
{{- $total = add $total (mul $number (get (dict "h" 3600 "m" 60 "s" 1) $unit)) -}}
{{- end -}}
{{- end -}}
{{- $total -}}
{{- end }}

{{/* How long the gateway needs to end: it waits `drain_delay`, then lets what runs finish within `drain`. */}}
{{- define "oauth-gateway.drainSeconds" -}}
{{- $timeouts := (fromYaml (include "oauth-gateway.inline" .)).timeouts -}}
{{- $delay := include "oauth-gateway.seconds" (dict "duration" $timeouts.drain_delay "name" "config.timeouts.drain_delay") -}}
{{- $drain := include "oauth-gateway.seconds" (dict "duration" $timeouts.drain "name" "config.timeouts.drain") -}}
{{- add (int64 $delay) (int64 $drain) -}}
{{- end }}

{{- define "oauth-gateway.gracePeriod" -}}
{{- $needed := include "oauth-gateway.drainSeconds" . | int64 -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{- add $needed 10 -}}
{{- else if lt (int64 $given) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and draining takes %d (timeouts.drain_delay and timeouts.drain): requests would be cut off" (int64 $given) $needed) -}}
{{- else -}}
{{- int64 $given -}}
{{- end -}}
{{- end }}

{{/* What the chart says in the environment where it can't say it in the file. */}}
{{- define "oauth-gateway.wiring" -}}
{{- if include "oauth-gateway.isForeign" . }}
{{- $inline := fromYaml (include "oauth-gateway.inline" .) }}
{{- if kindIs "slice" $inline.listen }}
{{- fail "config.listen must be one address where the configuration is configFile or existingConfigMap" }}
{{- end }}
- {name: OAUTH_GATEWAY__LISTEN, value: {{ $inline.listen | quote }}}
- {name: OAUTH_GATEWAY__ADMIN__LISTEN, value: {{ $inline.admin.listen | quote }}}
- {name: OAUTH_GATEWAY__TIMEOUTS__DRAIN_DELAY, value: {{ $inline.timeouts.drain_delay | toString | quote }}}
- {name: OAUTH_GATEWAY__TIMEOUTS__DRAIN, value: {{ $inline.timeouts.drain | toString | quote }}}
{{- end }}
{{- end }}
