// PeerSox 0.3 on loopback, embedded as its README says, over Redis.
//
// usage: node server.js PORT REDIS_PORT
const http = require('http')
const express = require('express')
const redis = require('redis')
const PeerSoxServer = require('peersox').default || require('peersox')

const [port, redisPort] = process.argv.slice(2).map(Number)
const app = express()
const server = http.createServer(app)
const client = redis.createClient({ host: '127.0.0.1', port: redisPort })
new PeerSoxServer(client, { app, server, config: () => ({ iceServers: [] }) })
server.listen(port, '127.0.0.1')
