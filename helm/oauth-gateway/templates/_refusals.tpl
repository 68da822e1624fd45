{{/* What is refused before anything is rendered: what the schema can't say, or would say by quoting a secret. */}}

{{- define "oauth-gateway.refuse" -}}
{{- if and .Values.configFile .Values.existingConfigMap -}}
{{- fail "configFile and existingConfigMap exclude each other" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled (eq .Values.mode "proxy") -}}
{{- fail "serviceMonitor and podMonitor exclude each other: every pod would be scraped twice" -}}
{{- end -}}
{{- include "oauth-gateway.refuseUnreachable" . -}}
{{- include "oauth-gateway.refuseSecrets" (fromYaml (include "oauth-gateway.config" .)) -}}
{{- range .Values.env -}}
{{- if and (regexMatch "(?i)(secret|token|password|seal)$" .name) .value -}}
{{- fail (printf "env %s: its value is written in the values; put it into a Secret and use valueFrom.secretKeyRef" .name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The kubelet asks from outside the pod. */}}
{{- define "oauth-gateway.refuseUnreachable" -}}
{{- range list (include "oauth-gateway.trafficPort" .) (include "oauth-gateway.adminPort" .) -}}
{{- if eq (int .) 0 -}}{{- fail "config.listen and config.admin.listen must name a port, not 0" -}}{{- end -}}
{{- end -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" .Values.config.admin.listen -}}
{{- fail "config.admin.listen is loopback: probes and Prometheus could not reach it; say 0.0.0.0:9090, and close the port by networkPolicy" -}}
{{- end -}}
{{- if eq (include "oauth-gateway.trafficPort" .) (include "oauth-gateway.adminPort" .) -}}
{{- fail "config.admin.listen must have another port than config.listen" -}}
{{- end -}}
{{- end }}

{{- define "oauth-gateway.refuseSecrets" -}}
{{- $advice := "is written in the values; put it into a Secret and refer to it: ${NAME} or ${file:/run/secrets/oauth-gateway/KEY}" -}}
{{- $reference := "^\\$\\{.+\\}$" -}}
{{- $found := dict "admin.token" (dig "admin" "token" "" .) -}}
{{- $redis := .redis | default dict -}}
{{- range $index, $secret := ternary $redis.secret (list $redis.secret) (kindIs "slice" $redis.secret) -}}
{{- $_ := set $found (printf "redis.secret %d" $index) $secret -}}
{{- end -}}
{{- range $name, $issuer := .issuers -}}
{{- $_ := set $found (printf "issuers.%s.secret" $name) (dig "secret" "" $issuer) -}}
{{- $_ := set $found (printf "issuers.%s.introspection.client_secret" $name) (dig "introspection" "client_secret" "" $issuer) -}}
{{- end -}}
{{- range $path, $value := $found -}}
{{- if and $value (not (regexMatch $reference (toString $value))) -}}{{- fail (printf "config.%s %s" $path $advice) -}}{{- end -}}
{{- end -}}
{{- if regexMatch "://[^/@$]*:[^/@$]+@" ($redis.url | default "") -}}
{{- fail (printf "config.redis.url: its password %s" $advice) -}}
{{- end -}}
{{- end }}
