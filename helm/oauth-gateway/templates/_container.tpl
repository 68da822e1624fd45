{{/* The gateway's container, the same in a pod of its own and as a sidecar. Without its name. */}}

{{- define "oauth-gateway.container" -}}
image: {{ include "oauth-gateway.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
ports:
  - name: {{ include "oauth-gateway.portName" . }}
    containerPort: {{ include "oauth-gateway.trafficPort" . }}
    protocol: TCP
  - name: {{ include "oauth-gateway.adminPortName" . }}
    containerPort: {{ include "oauth-gateway.adminPort" . }}
    protocol: TCP
{{- $wiring := include "oauth-gateway.wiring" . }}
{{- if or $wiring .Values.env }}
env:
  {{- with $wiring }}{{ . | nindent 2 }}{{ end }}
  {{- with .Values.env }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
startupProbe:
  {{- include "oauth-gateway.probe" (list . .Values.startupProbe "/startupz") | nindent 2 }}
livenessProbe:
  {{- include "oauth-gateway.probe" (list . .Values.livenessProbe "/livez") | nindent 2 }}
readinessProbe:
  {{- include "oauth-gateway.probe" (list . .Values.readinessProbe "/readyz") | nindent 2 }}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  # A whole folder: with subPath a changed ConfigMap would never arrive.
  - name: gateway-config
    mountPath: /etc/oauth-gateway
    readOnly: true
  {{- if .Values.existingSecret }}
  - name: gateway-secrets
    mountPath: /run/secrets/oauth-gateway
    readOnly: true
  {{- end }}
  - name: gateway-state
    mountPath: /var/lib/oauth-gateway
  - name: gateway-tmp
    mountPath: /tmp
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* A probe on the admin port, unless the values say how to probe. */}}
{{- define "oauth-gateway.probe" -}}
{{- $root := index . 0 -}}
{{- $probe := deepCopy (index . 1) -}}
{{- if not (or $probe.httpGet $probe.exec $probe.tcpSocket $probe.grpc) -}}
{{- $_ := set $probe "httpGet" (dict "path" (index . 2) "port" (include "oauth-gateway.adminPortName" $root)) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end }}

{{- define "oauth-gateway.volumes" -}}
- name: gateway-config
  configMap:
    name: {{ .Values.existingConfigMap | default (include "oauth-gateway.fullname" .) }}
{{- with .Values.existingSecret }}
- name: gateway-secrets
  secret:
    secretName: {{ . }}
    # A sidecar's pod may have no fsGroup; no other container mounts this.
    defaultMode: 0444
{{- end }}
# `keys.store: /var/lib/oauth-gateway` outlives a restart of the container while an issuer is down.
- name: gateway-state
  emptyDir:
    sizeLimit: 16Mi
- name: gateway-tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
