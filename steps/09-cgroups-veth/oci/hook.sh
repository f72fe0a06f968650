#!/bin/sh
# フックの例: コンテナに eth0 を差し込む。stdin から state を読む
pid=$(grep -o '"pid":[0-9]*' | cut -d: -f2)
ip link add veth-hook type veth peer name eth0 netns "$pid"
ip addr add 10.9.1.1/24 dev veth-hook
ip link set veth-hook up
nsenter --net="/proc/$pid/ns/net" sh -c 'ip addr add 10.9.1.2/24 dev eth0; ip link set eth0 up'
